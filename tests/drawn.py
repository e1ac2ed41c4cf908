"""What every figure has to be."""


def assert_drawn(path):
    """Hold a written picture to a size, to ink on it, and to an empty edge."""
    import matplotlib.image
    import numpy as np

    pixels = matplotlib.image.imread(path)
    height, width, _ = pixels.shape
    assert height > 200
    assert width > 400
    ink = (pixels[..., :3].min(axis=2) < 0.9).mean()
    assert 0.005 < ink < 0.7
    frame = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert frame[:, :3].min() > 0.99  # nothing is cut off at the edge
    assert [other.name for other in path.parent.iterdir()] == [path.name]

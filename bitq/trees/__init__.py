"""Decision trees, forests and boosting on integer features: trained by scikit-learn, made to fit a few bytes."""

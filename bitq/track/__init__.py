"""What a run leaves behind: result.json, MLflow runs with their C, figures and the table on the screen."""

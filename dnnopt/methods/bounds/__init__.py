"""Methods that yield bounds."""

"""What the articles of a law order, read by rule; every field is a range of an article's body."""

"""What a reader types into: the search box and the prompt laboratory."""

"""Searching images: an index of any folder, queries, abstention, explanations, pages, speed."""

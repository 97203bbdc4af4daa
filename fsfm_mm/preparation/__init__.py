"""From raw photos and videos to training data: find faces, cut them out, label their pixels, write them."""

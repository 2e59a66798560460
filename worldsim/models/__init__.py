"""Networks and what they are made of. Know no files, no environments and no training."""

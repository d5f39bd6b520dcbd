"""Super-network training and adaptation."""

"""What people and machines may ask about: runs, inconsistencies, conditions, numbers. Nothing here changes IRM."""

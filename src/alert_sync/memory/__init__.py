"""What is remembered between runs, in one DynamoDB table. Nothing outside this package knows keys or items."""

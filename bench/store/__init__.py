"""The folder under ``results/``: where everything lies, how it is written so that nothing acknowledged is lost, how it is read."""

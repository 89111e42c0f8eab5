"""What the studies of recurrent networks share: kernel and targets, regression, the papers' SGD, cases."""

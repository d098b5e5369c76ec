"""Where people look at labels and correct them: the repetition bench, Label Studio, FiftyOne, Roboflow."""

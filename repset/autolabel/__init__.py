"""Automatic labels: poses, angles, repetitions, form verdicts and exercise names for images and videos."""

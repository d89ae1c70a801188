"""STgram-MFN: a spectrogram and a learned temporal feature with ArcFace."""

"""Pretrained audio encoders (BEATs, EAT, CED), frozen or fine-tuned with LoRA."""

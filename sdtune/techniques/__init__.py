"""The techniques: each a LightningModule around the frozen base model."""

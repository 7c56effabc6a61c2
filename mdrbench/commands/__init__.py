"""What the commands do, without their terminal: run, negatives, ablation, audit, mteb, doctor."""

"""The chaos suite: everything is killed while runs are under way, and what came of them is judged from outside."""

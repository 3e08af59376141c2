"""Words that stand for something else where a number is due. The rule here: those that pandas knows in a file, and no others."""

MISSING = ("", "NA", "<NA>", "N/A", "n/a", "#N/A", "#NA", "NaN", "nan", "-nan", "-NaN", "NULL", "null", "None", "none")
TRUTH = {True: ("True", "true", "TRUE"), False: ("False", "false", "FALSE")}

"""Train a classifier on the prepared digits, log how good it is on the test file, and keep the model."""

import argparse
import csv
from pathlib import Path

import joblib
from azureml.core import Run
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.svm import SVC

parser = argparse.ArgumentParser()
parser.add_argument("--prepared", type=Path, required=True)
parser.add_argument("--model", type=Path, required=True)
options = parser.parse_args()


def read(name):
    with (options.prepared / f"{name}.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    return [[float(cell) for cell in row[:-1]] for row in rows], [int(row[-1]) for row in rows]


run = Run.get_context()
pixels, digits = read("train")
classifier = SVC(C=10, gamma="scale", random_state=0).fit(pixels, digits)

pixels, digits = read("test")
guesses = classifier.predict(pixels)
accuracy = accuracy_score(digits, guesses)
run.log("accuracy", float(accuracy))
run.log_list(
    "wrong_by_digit", [int(row.sum() - row[digit]) for digit, row in enumerate(confusion_matrix(digits, guesses))]
)
run.tag("model", type(classifier).__name__)
print(f"accuracy {accuracy:.4f} on {len(digits)} digits")

# The pipeline's output is for the steps and programs that come after; ./outputs is kept with the run.
options.model.mkdir(parents=True, exist_ok=True)
joblib.dump(classifier, options.model / "digits.joblib")
Path("outputs").mkdir(exist_ok=True)
joblib.dump(classifier, "outputs/digits.joblib")

"""`python -m tests.chart`: write what of the chart is generated; the command behind `make chart`."""

from tests.chart import generated
from tests.tree import ROOT

for changed in generated.write():
    print(changed.relative_to(ROOT))

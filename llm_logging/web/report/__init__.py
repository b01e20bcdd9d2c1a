"""The report: charts as Vega-Lite specifications, drawn without a browser, and the page around them."""

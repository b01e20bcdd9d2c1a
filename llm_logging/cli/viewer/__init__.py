"""`pretty` and `tail`: recognise log records of any program and print them as a person reads them."""

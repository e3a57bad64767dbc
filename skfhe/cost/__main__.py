"""``python -m skfhe.cost`` prints the tables of prices that the documentation shows."""

from skfhe.cost._price_table import price_tables

if __name__ == "__main__":
    print(*price_tables().values(), sep="\n\n")

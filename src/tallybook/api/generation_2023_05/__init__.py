"""Generation 2023-05 of the interface: the shapes in which it reads and writes what ours says otherwise.

What is written the same in both generations does not stand here; operations that it does not have are served as ever.
"""

from tallybook.api.generation_2023_05 import credits, customers, definitions, events, invoices, plans, revenue
from tallybook.api.generations import Generation

GENERATION_2023_05 = Generation(
    answers={
        **credits.ANSWERS,
        **customers.ANSWERS,
        **definitions.ANSWERS,
        **events.ANSWERS,
        **invoices.ANSWERS,
        **plans.ANSWERS,
        **revenue.ANSWERS,
    },
    questions={
        **credits.QUESTIONS,
        **customers.QUESTIONS,
        **definitions.QUESTIONS,
        **plans.QUESTIONS,
        **revenue.QUESTIONS,
    },
)

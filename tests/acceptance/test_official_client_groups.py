"""The official Python client, unchanged, against a real server: invoice groups and bill runs."""

import time
from typing import Any

import catalogue_samples as samples
import togai_client
from togai_client.api.customers_api import CustomersApi
from togai_client.api.invoice_groups_api import InvoiceGroupsApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.jobs_api import JobsApi


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


def an_account(official: togai_client.ApiClient, account_id: str) -> None:
    customer = samples.customer(f"customer-of-{account_id}", account={"id": account_id, "name": account_id})
    CustomersApi(official).create_customer(asked("CreateCustomerRequest", **customer))


def listed(api: InvoiceGroupsApi) -> list[str]:
    return [group.id for group in api.list_invoice_groups().data or []]


def test_a_group_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Made, read, listed, joined, left, and gone with its last account."""
    for number in (1, 2, 3):
        an_account(official, f"official-g{number}")
    api = InvoiceGroupsApi(official)
    made = api.create_invoice_group(
        asked(
            "CreateInvoiceGroupRequest",
            name="official group",
            email="bills@group.example",
            dailyInvoiceConsolidation=True,
            accountIds=["official-g1", "official-g2"],
            netTermDays=30,
            address=samples.ADDRESS,
        )
    )
    assert (made.accounts_count, made.net_term_days, made.billing_address.city) == (2, 30, "Chennai")
    assert made.id in listed(api)
    third = asked("UpdateInvoiceGroupAccounts", accountIds=["official-g3"])
    assert api.add_invoice_group_accounts(made.id, third).accounts_count == 3
    assert api.get_invoice_group(made.id).accounts == ["official-g1", "official-g2", "official-g3"]
    everyone = asked("UpdateInvoiceGroupAccounts", accountIds=["official-g1", "official-g2", "official-g3"])
    assert api.remove_invoice_group_accounts(made.id, everyone).success is True
    assert made.id not in listed(api)


def test_a_bill_run_is_started_and_rejected(official: togai_client.ApiClient) -> None:
    """The client starts a job that waits, finds it among the jobs, and rejects it; the list of what is due is read."""
    api = InvoicesApi(official)
    assert api.create_invoice_bill_run(require_confirmation=True).success is True
    waiting = waiting_bill_run(JobsApi(official))
    JobsApi(official).reject_job(waiting)
    assert JobsApi(official).get_job_status(waiting).status == "CANCELLED"
    due = api.list_invoices_for_bill_run(page_size=10).data
    assert {invoice.status for invoice in due} <= {"DRAFT"}


def waiting_bill_run(api: JobsApi) -> str:
    """The id of the bill run that waits, once it has been looked at."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for job in api.get_jobs().data or []:
            if (job.type, job.status) == ("BILL_RUN", "WAITING_FOR_CONFIRMATION"):
                return str(job.id)
        time.sleep(0.2)
    raise AssertionError("the bill run never waited for confirmation")

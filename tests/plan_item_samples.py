"""Rate cards as the operations under `/v2` take them, for tests to send as they are or with one thing changed."""

from typing import Any


def usage_card(meter_id: str, rate: float = 0.1, currencies: tuple[str, ...] = ("USD",), **changes: Any) -> Any:
    slab = {"order": 1, "startAfter": 0, "priceType": "PER_UNIT"}
    rates = [{"currency": each, "slabRates": [{"order": 1, "rate": rate}]} for each in currencies]
    card = {"usageMeterId": meter_id, "ratePlan": {"pricingModel": "TIERED", "slabs": [slab]}, "rateValues": rates}
    return {
        "billableId": meter_id,
        "type": "USAGE",
        "invoiceTiming": "IN_ARREARS",
        "rateCardDetails": {"usageRateCard": card},
        **changes,
    }


def fee_card(add_on_id: str, rate: int = 90, timing: str = "IN_ARREARS", **changes: Any) -> Any:
    card = {"id": add_on_id, "enableProration": False, "rateValues": [{"currency": "USD", "rate": rate}]}
    return {
        "billableId": add_on_id,
        "type": "FIXED_FEE",
        "invoiceTiming": timing,
        "rateCardDetails": {"fixedFeeRateCard": card},
        **changes,
    }


def commitment(rate: int) -> Any:
    details = {"displayName": "At least", "rateValues": [{"currency": "USD", "rate": rate}]}
    return {
        "billableId": "any",
        "type": "MINIMUM_COMMITMENT",
        "invoiceTiming": "IN_ARREARS",
        "rateCardDetails": {"minimumCommitmentRateCard": details},
    }


def create(name: str, card: Any) -> dict[str, Any]:
    return {"actionType": "CREATE", "rateCardName": name, "rateCard": card}

"""Records as Twilio's REST API writes them, for the fake of it in `twilio_rest`."""

from typing import Any, Final

Record = dict[str, Any]
ACCOUNT: Final = "AC" + "7" * 32


def flex_flow(number: int, **more: Any) -> Record:
    """Write FlexFlow `number` as Twilio's page of the resource has it."""
    sid = f"FO{number:032x}"
    return {
        "sid": sid,
        "account_sid": ACCOUNT,
        "date_created": "2016-08-01T22:10:40Z",
        "date_updated": "2016-08-01T22:10:40Z",
        "friendly_name": f"Flow {number}",
        "chat_service_sid": "IS" + "1" * 32,
        "channel_type": "sms",
        "contact_identity": f"+1555{number:07d}",
        "enabled": True,
        "integration_type": "studio",
        "integration": {"flow_sid": "FW" + "1" * 32, "retry_count": 1},
        "long_lived": False,
        "janitor_enabled": False,
        "url": f"https://flex-api.twilio.com/v1/FlexFlows/{sid}",
    } | more


def address(number: int, creation: Record | None = None, **more: Any) -> Record:
    """Write Address Configuration `number`, with what its `auto_creation` has beside `enabled`."""
    sid = f"IG{number:032x}"
    return {
        "sid": sid,
        "account_sid": ACCOUNT,
        "type": "sms",
        "address": f"+1555{number:07d}",
        "friendly_name": f"Address {number}",
        "address_country": None,
        "auto_creation": {"enabled": True, "type": "default", "conversation_service_sid": None} | (creation or {}),
        "date_created": "2016-08-01T22:10:40Z",
        "date_updated": "2016-08-01T22:10:40Z",
        "url": f"https://conversations.twilio.com/v1/Configuration/Addresses/{sid}",
    } | more


def phone_number(account_sid: str, sid: str, number: str, **more: Any) -> Record:
    """Write a number: https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource."""
    return {
        "sid": sid,
        "account_sid": account_sid,
        "phone_number": number,
        "friendly_name": number,
        "api_version": "2010-04-01",
        "capabilities": {"voice": True, "sms": True, "mms": True, "fax": False},
        "date_created": "Thu, 30 Jul 2015 23:19:04 +0000",
        "date_updated": "Thu, 30 Jul 2015 23:19:04 +0000",
        "sms_url": "",
        "sms_method": "POST",
        "sms_fallback_url": "https://example.com/fb",
        "sms_fallback_method": "POST",
        "sms_application_sid": "",
        "status_callback": "",
        "voice_url": "",
        "uri": f"/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json",
    } | more


def service(account_sid: str, sid: str, url: str | None, **more: Any) -> Record:
    """Write a Messaging Service: https://www.twilio.com/docs/messaging/api/service-resource."""
    return {
        "sid": sid,
        "account_sid": account_sid,
        "friendly_name": "a service",
        "inbound_request_url": url,
        "inbound_method": "POST",
        "fallback_url": None,
        "fallback_method": "POST",
        "use_inbound_webhook_on_number": url is None,
        "links": {"phone_numbers": f"https://messaging.twilio.com/v1/Services/{sid}/PhoneNumbers"},
        "url": f"https://messaging.twilio.com/v1/Services/{sid}",
    } | more


def sender(sid: str, number: str, callback_url: str = "", **more: Any) -> Record:
    """Write a WhatsApp sender: https://www.twilio.com/docs/whatsapp/api/senders."""
    webhook = {
        "callback_url": callback_url,
        "callback_method": "POST",
        "fallback_url": "",
        "fallback_method": "POST",
        "status_callback_url": "https://example.com/status",
        "status_callback_method": "POST",
    }
    return {
        "sid": sid,
        "status": "ONLINE",
        "sender_id": f"whatsapp:{number}",
        "configuration": {"waba_id": "12345678912345"},
        "webhook": webhook | more,
        "profile": {"name": "Owl, Inc."},
        "url": f"https://messaging.twilio.com/v2/Channels/Senders/{sid}",
    }


def message(account_sid: str, sid: str, date: str, **more: Any) -> Record:
    """Write a message: https://www.twilio.com/docs/messaging/api/message-resource."""
    return {
        "sid": sid, "account_sid": account_sid, "api_version": "2010-04-01", "body": f"text of {sid[-4:]}",
        "date_created": date, "date_sent": date, "date_updated": date, "direction": "inbound", "error_code": None,
        "error_message": None, "from": "+15550000002", "to": "+15550000001", "messaging_service_sid": None,
        "num_media": "0", "num_segments": "1", "price": None, "price_unit": None, "status": "received",
        "uri": f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}.json", "subresource_uris": {},
    } | more  # fmt: skip

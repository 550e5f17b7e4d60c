"""Sends an SMS by a mobile router as huawei-lte-api does, and reads what came in.

hilink.py URL NUMBER TEXT: prints what the router says to it, to whom it was sent, and the texts that came in.
"""

import sys

from huawei_lte_api.Client import Client
from huawei_lte_api.Connection import Connection

url, number, text = sys.argv[1:]
with Connection(url) as connection:
    sms = Client(connection).sms
    said = sms.send_sms([number], text)
    came = sms.get_sms_list()["Messages"]["Message"]
    print(said, sms.send_status()["SucPhone"], *(one["Content"] for one in came))

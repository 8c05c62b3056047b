#!/usr/bin/env bash
# Guess: the two calendar libraries close the New York Stock Exchange on 9 January 2025 (a national day of mourning)
#        and give CME's products their published hours: equity index futures until 8:30, interest rates and agriculture
#        until 12:15 Chicago time, energy and metals as usual.
# Seen:  exchange_calendars 4.13.2 (CMES) and pandas_market_calendars 5.5.0 (CME_TradeDate, CME_Equity,
#        CME_InterestRate, CME_Agriculture) have no session on that day: a whole trade date is missing. The second has
#        its session in CMEGlobex_CL and CMEGlobex_GC, so two calendars of one exchange disagree about a trade date.
# Source: CME Group, press release of 30 December 2024, "CME Group Announces Trading Hours for U.S. National Day of
#        Mourning to Honor Former President Jimmy Carter".
# Means: a history of settlement prices joined to such a calendar loses a day that has prices and margin files, and a
#        one-day move spans two days. Take trade dates from the exchange's own files.
# Needs: python3. Exits 1 if any of this changes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check exchange_calendars==4.13.2 pandas_market_calendars==5.5.0
"$tmp/venv/bin/python" - <<'PY'
import exchange_calendars
import pandas_market_calendars

day = "2025-01-09"
sessions = {f"exchange_calendars {name}": exchange_calendars.get_calendar(name).is_session(day) for name in ("XNYS", "CMES")}
for name in ("NYSE", "CME_TradeDate", "CME_Equity", "CME_InterestRate", "CME_Agriculture", "CMEGlobex_CL", "CMEGlobex_GC"):
    sessions[f"pandas_market_calendars {name}"] = len(pandas_market_calendars.get_calendar(name).schedule(day, day)) == 1
for name, open_ in sessions.items():
    print(f"{name:42} {'open' if open_ else 'closed'}")
assert [name.split()[1] for name, open_ in sessions.items() if open_] == ["CMEGlobex_CL", "CMEGlobex_GC"]
print("as described: CME's equity, rates and agriculture calendars have no such day; crude oil and gold have")
PY

#!/bin/sh
# The page, made anew for each request.

text() { sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'; }
row() { printf '<tr><th>%s<td>%s\n' "$1" "$(printf '%s' "$2" | text)"; }
kib() { awk -v key="$1:" '$1 == key { printf "%.1f MiB", $2 / 1024 }' /proc/meminfo; }

uptime=$(awk '{ printf "%d d %02d:%02d", $1 / 86400, $1 % 86400 / 3600, $1 % 3600 / 60 }' /proc/uptime)
root=$(df -P -h / 2>/dev/null | awk 'NR == 2 { print $4 " of " $2 }')

printf 'Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\r\n'
cat <<EOF
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="10">
<title>hello-router</title>
<link rel="stylesheet" href="/style.css">
<h1>Hello from $(hostname | text)</h1>
<table>
EOF
row 'Up for' "$uptime"
row 'Load' "$(cut -d' ' -f1-3 /proc/loadavg)"
row 'Memory' "$(kib MemAvailable) free of $(kib MemTotal)"
row 'Disk' "${root:-unknown} free"
row 'Kernel' "$(uname -s) $(uname -r)"
row 'Machine' "$(uname -m)"
echo '</table><h2>Interfaces</h2><table><tr><th>Name<th>Received<th>Sent<th>Addresses'
addresses=$(ip -o address 2>/dev/null)
sed -e 1,2d -e 's/:/ /' /proc/net/dev | while read -r name received _ _ _ _ _ _ _ sent _; do
  printf '<tr><td>%s<td>%s B<td>%s B<td>%s\n' "$name" "$received" "$sent" \
    "$(printf '%s\n' "$addresses" | awk -v name="$name" '$2 == name { printf "%s ", $4 }' | text)"
done
echo '</table><h2>Environment</h2><p>Names only: the values stay inside.</p><ul>'
printf '%s\n' "$VARIABLES" | text | sed 's/^/<li>/'
echo '</ul><footer>hello-router @VERSION@, built for @PLATFORM@ (@MACHINE@)</footer></html>'

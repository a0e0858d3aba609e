    :if ([:len [/ip/firewall/filter/find where comment=%TAG% chain="input" protocol="%PROTOCOL%"]] = 0) do={
      :local drops [/ip/firewall/filter/find where chain="input" (action="drop" or action="reject")]
      :if ([:len $drops] > 0) do={
        /ip/firewall/filter/add chain=input action=accept protocol=%PROTOCOL% dst-port=53 src-address=$ip in-interface="routerpack" comment=%TAG% place-before=($drops->0)
      }
    }

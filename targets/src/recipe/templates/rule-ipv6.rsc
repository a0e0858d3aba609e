    :if ([:len [/ipv6/firewall/filter/find where comment=%TAG%]] = 0) do={
      :local drops [/ipv6/firewall/filter/find where chain="forward" (action="drop" or action="reject")]
      :if ([:len $drops] > 0) do={
        /ipv6/firewall/filter/add chain=forward action=accept src-address=%HOST6%/128 in-interface="routerpack" comment=%TAG% place-before=($drops->0)
      }
    }

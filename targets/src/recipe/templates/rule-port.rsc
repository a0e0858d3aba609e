    :if ([:len [/ip/firewall/nat/find where comment=%TAG% protocol="%PROTOCOL%" dst-port="%OUTSIDE%"]] = 0) do={
      /ip/firewall/nat/add chain=dstnat action=dst-nat protocol=%PROTOCOL% dst-port=%OUTSIDE% dst-address-type=local%FROM% to-addresses=$ip to-ports=%INSIDE% comment=%TAG%
    }

# 2. Bridge, interface, rules, variables and mounts. What is there already stays as it is.
{
  :global routerpackAction
  :global routerpackDisk
  :global routerpackVersion
  :if (($routerpackAction = "install") or ($routerpackAction = "update")) do={
    :local bridge [/interface/bridge/find where name="routerpack"]
    :if ([:len $bridge] = 0) do={
      /interface/bridge/add name="routerpack" comment="routerpack"
    } else={
      :if (("" . [/interface/bridge/get ($bridge->0) comment]) != "routerpack") do={ :error "routerpack: a bridge of the name routerpack is here that no recipe made" }
    }
    :if ([:len [/ip/address/find where interface="routerpack" address="%GATEWAY%/%LENGTH%"]] = 0) do={
      /ip/address/add address=%GATEWAY%/%LENGTH% interface="routerpack" comment="routerpack"
    }
%ADDRESS6%
    :local ip ""
    :local veth [/interface/veth/find where comment=%TAG%]
    :if ([:len $veth] > 0) do={
      :set ip [:tostr [/interface/veth/get ($veth->0) address]]
      :set ip [:pick $ip 0 [:find $ip "/"]]
    } else={
      :local used ""
      :foreach item in=[/interface/veth/find] do={ :set used ($used . ";" . [:tostr [/interface/veth/get $item address]]) }
      :for i from=2 to=%LAST% do={
        :if ([:len $ip] = 0) do={
          :local candidate [:tostr (%NETWORK% + $i)]
          :if (([:typeof [:find $used (";" . $candidate . "/")]] != "num") and ([:typeof [:find $used ("," . $candidate . "/")]] != "num")) do={ :set ip $candidate }
        }
      }
      :if ([:len $ip] = 0) do={ :error "routerpack: no address of %SUBNET% is free" }
%VETH%
    }
    :if ([:len [/interface/bridge/port/find where comment=%TAG%]] = 0) do={
      /interface/bridge/port/add bridge="routerpack" interface=%VETH_NAME% comment=%TAG%
    }
%RULES%
%LISTS%
    :local config [/container/config/print as-value]
    :local temporary ("" . ($config->"tmpdir"))
    :if ([:len $temporary] = 0) do={
      /container/config/set tmpdir=($routerpackDisk . %TMP%)
    } else={
      :put ("routerpack: images are unpacked in the tmpdir that is set here, " . $temporary)
    }
  }
}


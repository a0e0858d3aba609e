# 5. Back to the former container, after an update that broke off or kept it.
{
  :global routerpackAction
  :global routerpackState
  :global routerpackEnd
  :if ($routerpackAction = "rollback") do={
    :local old ""
    :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
      :if ([:typeof [:find ("" . ($row->"root-dir")) %ROOT_NAME%]] != "num") do={ :set old ($row->".id") }
    }
    :if ([:len $old] = 0) do={
      :error "routerpack: there is no former container of %NAME%: import the recipe of the image that you want, with the action update; updates keep the former one if the recipe is made with --keep-former"
    }
    :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
      :if ([:typeof [:find ("" . ($row->"root-dir")) %ROOT_NAME%]] = "num") do={ $routerpackEnd id=($row->".id") remove="yes" }
    }
    :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
      :if ((("" . ($row->".id")) = ("" . $old)) and ([$routerpackState row=$row] != "running")) do={
        # An update that keeps it takes this away. Before the start: a change may start a running one again.
        :do { /container/set $old start-on-boot=%BOOT% } on-error={}
        /container/start $old
      }
    }
    :put "routerpack: the former container of %NAME% is back"
  }
}

# 6. Away with all of it, but for the data.
{
  :global routerpackAction
  :global routerpackEnd
  :if ($routerpackAction = "uninstall") do={
    :foreach row in=[/container/print detail as-value where comment=%TAG%] do={ $routerpackEnd id=($row->".id") remove="yes" }
    :local left 60
    :while (($left > 0) and ([:len [/container/find where comment=%TAG%]] > 0)) do={
      :delay 2s
      :set left ($left - 1)
    }
    :if ($left = 0) do={ :error "routerpack: a container of %NAME% is still there; import this script again when it is gone from /container/print" }
    /container/envs/remove [/container/envs/find where comment=%TAG%]
    /container/mounts/remove [/container/mounts/find where comment=%TAG%]
    /ip/firewall/nat/remove [/ip/firewall/nat/find where comment=%TAG%]
    /ip/firewall/filter/remove [/ip/firewall/filter/find where comment=%TAG%]
%IPV6%
    /interface/bridge/port/remove [/interface/bridge/port/find where comment=%TAG%]
    /interface/veth/remove [/interface/veth/find where comment=%TAG%]
    :if ([:len [/interface/bridge/port/find where bridge="routerpack"]] = 0) do={
      /ip/address/remove [/ip/address/find where comment="routerpack" interface="routerpack"]
%IPV6_BRIDGE%
      /interface/bridge/remove [/interface/bridge/find where comment="routerpack" name="routerpack"]
    }
    :put "routerpack: %NAME% is gone; its data stay in %DATA%"
  }
}


# 3. What a row of /container/print says (each version says it in its own way), and an orderly end.
:global routerpackState do={
  :local word ("" . ($row->"status"))
  :local state "unknown"
  :foreach key in={"stopped"} do={
    :if (($word = $key) or (("" . ($row->$key)) = "true") or (("" . ($row->("." . $key))) = "true")) do={ :set state "stopped" }
  }
  :foreach key in={"running";"healthy";"unhealthy";"starting-with-healthcheck"} do={
    :if (($word = $key) or (("" . ($row->$key)) = "true") or (("" . ($row->("." . $key))) = "true")) do={ :set state "running" }
  }
  :foreach key in={"starting";"stopping";"deleting";"extracting";"downloading";"downloading/extracting"} do={
    :if (($word = $key) or (("" . ($row->$key)) = "true") or (("" . ($row->("." . $key))) = "true")) do={ :set state "busy" }
  }
  :foreach key in={"error";"failed";"download/extract failed"} do={
    :if (($word = $key) or (("" . ($row->$key)) = "true") or (("" . ($row->("." . $key))) = "true")) do={ :set state "failed" }
  }
  :return $state
}
:global routerpackEnd do={
  :global routerpackState
  :local left 60
  :local state "busy"
  :do { /container/stop $id } on-error={}
  :while (($left > 0) and (($state = "busy") or ($state = "running"))) do={
    :delay 2s
    :set left ($left - 1)
    :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
      :if (("" . ($row->".id")) = ("" . $id)) do={ :set state [$routerpackState row=$row] }
    }
  }
  :if ($remove = "yes") do={
    :do { /container/remove $id } on-error={ :put "routerpack: a container could not be removed now; remove it by hand: see /container/print" }
  }
}


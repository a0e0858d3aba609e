# 4. The container itself.
{
  :global routerpackAction
  :global routerpackDisk
  :global routerpackFile
  :global routerpackVersion
  :global routerpackState
  :global routerpackEnd
  :if (($routerpackAction = "install") or ($routerpackAction = "update")) do={
    :local fresh ""
    :local state ""
    :local old ""
    :local former ""
    :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
      :if ([:typeof [:find ("" . ($row->"root-dir")) %ROOT_NAME%]] = "num") do={
        :set fresh ($row->".id")
        :set state [$routerpackState row=$row]
      } else={
        # Beside a kept one: the one that runs, else the newer.
        :local here [$routerpackState row=$row]
        :if (($here = "running") or ($former != "running")) do={
          :set old ($row->".id")
          :set former $here
        }
      }
    }
    :if (([:len $fresh] = 0) and ([:len $old] > 0) and ($routerpackAction = "install")) do={
      :error "routerpack: %NAME% is installed from another image; to replace it, set the action at the top of the script to update"
    }
    :if (([:len $fresh] = 0) and ([:len $old] = 0) and ($routerpackAction = "update")) do={
      :error "routerpack: %NAME% is not installed; set the action at the top of the script to install"
    }
    :if (([:len $fresh] > 0) and ([:len $old] > 0) and ($state != "running")) do={
      :put "routerpack: an update broke off before; it begins anew"
      $routerpackEnd id=$fresh remove="yes"
      :set fresh ""
    }
    :if ([:len $fresh] > 0) do={
      :put "routerpack: %NAME% is installed from this image already"
    } else={
      # One that an earlier update kept makes room.
      :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
        :if ((("" . ($row->".id")) != ("" . $old)) and ([$routerpackState row=$row] != "running")) do={ $routerpackEnd id=($row->".id") remove="yes" }
      }
      :local why ""
      :local image ""
%ADD%
      :if ([:len $old] > 0) do={ $routerpackEnd id=$old remove="no" }
      :do { $add root=($routerpackDisk . %ROOT%) archive=$routerpackFile } on-error={ :set why "/container/add was refused" }
      :local left 360
      :set state "busy"
      :while (([:len $why] = 0) and ($left > 0) and ($state = "busy")) do={
        :delay 5s
        :set left ($left - 1)
        :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
          :if ([:typeof [:find ("" . ($row->"root-dir")) %ROOT_NAME%]] = "num") do={
            :set fresh ($row->".id")
            :set state [$routerpackState row=$row]
            :if (($state != "failed") and ([:len ("" . ($row->"os"))] = 0)) do={ :set state "busy" }
            :set image ("" . ($row->"image-id"))
          }
        }
      }
      :if (([:len $why] = 0) and ($state = "busy")) do={ :set why "the image was not unpacked within half an hour" }
      :if (([:len $why] = 0) and ($state = "failed")) do={ :set why "the image could not be unpacked" }
      :if (([:len $why] = 0) and ([:len $image] > 0) and ([:typeof [:find $image "%ID%"]] != "num")) do={ :set why ("the router unpacked another image, " . $image) }
      :if ([:len $why] = 0) do={
        :do { /container/start $fresh } on-error={ :set why "the container could not be started" }
        :local steady 0
        :set left 30
        :while (([:len $why] = 0) and ($left > 0) and ($steady < 2)) do={
          :delay 2s
          :set left ($left - 1)
          :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
            :if (("" . ($row->".id")) = ("" . $fresh)) do={
              :set state [$routerpackState row=$row]
              :if (($state = "running") or ($state = "unknown")) do={ :set steady ($steady + 1) } else={ :set steady 0 }
            }
          }
        }
        :if (([:len $why] = 0) and ($steady < 2)) do={ :set why "the container does not keep running" }
      }
      :if ([:len $why] > 0) do={
        :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
          :if ([:typeof [:find ("" . ($row->"root-dir")) %ROOT_NAME%]] = "num") do={ $routerpackEnd id=($row->".id") remove="yes" }
        }
        :if ([:len $old] > 0) do={
          :do { /container/start $old } on-error={ :set why ($why . "; and the former one does not start") }
          :error ("routerpack: " . $why . "; the former container is back. See /log/print")
        }
        :error ("routerpack: " . $why . ". See /log/print")
      }
      :put "routerpack: %NAME% runs"
    }
    :foreach row in=[/container/print detail as-value where comment=%TAG%] do={
      :if ([:typeof [:find ("" . ($row->"root-dir")) %ROOT_NAME%]] != "num") do={
%FORMER%
      }
    }
%REMOVE_ARCHIVE%
  }
}


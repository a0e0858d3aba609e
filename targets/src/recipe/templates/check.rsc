# 1. Whether this router fits. Nothing is changed here, and nothing here needs the container package.
{
  :global routerpackAction
  :global routerpackVersion
  :global routerpackDisk ""
  :global routerpackFile ""
  :if (($routerpackAction != "install") and ($routerpackAction != "update") and ($routerpackAction != "rollback") and ($routerpackAction != "uninstall")) do={
    :error "routerpack: the action at the top of the script is none of install, update, rollback, uninstall"
  }
  :local text [/system/resource/get version]
  :local code 0
  :local field 0
  :local dots 0
  :local more true
  :for i from=0 to=([:len $text] - 1) do={
    :local char [:pick $text $i ($i + 1)]
    :local digit [:find "0123456789" $char]
    :if ($more and ([:typeof $digit] = "num")) do={
      :set field (($field * 10) + $digit)
    } else={
      :if ($more and ($char = ".") and ($dots < 2)) do={
        :set code (($code * 100) + $field)
        :set field 0
        :set dots ($dots + 1)
      } else={
        :set more false
      }
    }
  }
  :set code (($code * 100) + $field)
  :if ($dots = 0) do={ :set code ($code * 10000) }
  :if ($dots = 1) do={ :set code ($code * 100) }
  :set routerpackVersion $code
%VERSION%
  :local arch [/system/resource/get architecture-name]
  :local cpu ("" . [/system/resource/get cpu])
  :if (%WRONG_ARCH%) do={ :error ("routerpack: the image is for %PLATFORM% and this router is " . $arch . ", " . $cpu) }
  :if ([:len [/system/package/find where name="container" disabled=no]] = 0) do={
    :error "routerpack: the container package is missing or disabled: upload it from the extra packages of this version, then reboot"
  }
  :local mode [/system/device-mode/print as-value]
  :local allowed ("" . ($mode->"container"))
  :if (($allowed = "false") or ($allowed = "no")) do={
    :error "routerpack: containers are not allowed by device-mode: type /system/device-mode/update container=yes and confirm it with the reset button or a power cut"
  }
  :if (($routerpackAction = "install") or ($routerpackAction = "update")) do={
%DISK%
    :set routerpackDisk $disk
    :local root ($disk . %ROOT%)
    :if (([:len [/file/find where name=$root]] = 0) and ([:len $root] > 0)) do={
      :local room [:tonum $free]
      :if ([:typeof $room] = "num") do={
        :if ($room < %NEED%) do={ :error ("routerpack: %NEED_TEXT% must be free and there are only " . $room . " bytes") }
      } else={
        :put "routerpack: this version does not say how much is free; %NEED_TEXT% are needed"
      }
%ARCHIVE%
    }
%DNS%
%LIST%
    :foreach entry in=[/ip/address/find where interface!="routerpack"] do={
      :local other ("" . [/ip/address/get $entry address])
      :local network [/ip/address/get $entry network]
      :local slash [:find $other "/"]
      :if ([:typeof $slash] = "num") do={
        :local length [:tonum [:pick $other ($slash + 1) [:len $other]]]
        :if ($length > %LENGTH%) do={ :set length %LENGTH% }
        :local mask (255.255.255.255 << (32 - $length))
        :if (([:toip $network] & $mask) = (%NETWORK% & $mask)) do={
          :error ("routerpack: the network %SUBNET% overlaps with this router's " . $other . "; make the recipe again with another --subnet")
        }
      }
    }
  }
}


    :local disk ""
    :local free ""
    :foreach row in=[/disk/print detail as-value] do={
      :local slot ("" . ($row->"slot"))
      :if ([:len $slot] = 0) do={ :set slot ("" . ($row->"name")) }
      :local system ("" . ($row->"fs"))
      :if ([:len $system] = 0) do={ :set system ("" . ($row->"type")) }
      :if ($slot = %SLOT%) do={
        :set disk ($slot . "/")
        :set free ($row->"free")
        :if (($system != "ext4") and ($system != "btrfs")) do={
          :error ("routerpack: the disk " . $slot . " has the filesystem '" . $system . "'; containers need ext4 or btrfs")
        }
      }
    }
    :if ([:len $disk] = 0) do={ :error "routerpack: there is no disk of the name that this recipe is for; RouterOS would fill its internal flash instead" }

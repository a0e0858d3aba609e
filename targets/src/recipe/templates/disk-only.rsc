    :local disk ""
    :local free ""
    :local fitting ""
    :local count 0
    :foreach row in=[/disk/print detail as-value] do={
      :local slot ("" . ($row->"slot"))
      :if ([:len $slot] = 0) do={ :set slot ("" . ($row->"name")) }
      :local system ("" . ($row->"fs"))
      :if ([:len $system] = 0) do={ :set system ("" . ($row->"type")) }
      :if (([:len $slot] > 0) and (($system = "ext4") or ($system = "btrfs"))) do={
        :set count ($count + 1)
        :set disk ($slot . "/")
        :set free ($row->"free")
        :set fitting ($fitting . " " . $slot)
      }
    }
    :if ($count = 0) do={ :error "routerpack: no disk with ext4 or btrfs is here: format one, or make the recipe with --disk internal" }
    :if ($count > 1) do={ :error ("routerpack: several disks fit:" . $fitting . "; make the recipe again with --disk") }

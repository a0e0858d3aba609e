      :local archive ($disk . %AT_DISK%)
      :if ([:len [/file/find where name=$archive]] = 0) do={ :set archive %FILE% }
      :local found [/file/find where name=$archive]
      :if ([:len $found] = 0) do={ :error "routerpack: the archive is not here: upload it as %FILE_TEXT%" }
      :local size [:tonum [/file/get ($found->0) size]]
      :if (([:typeof $size] = "num") and ($size != %SIZE%)) do={
        :error ("routerpack: %FILE_TEXT% should have %SIZE% bytes and has " . $size . ": upload it again")
      }
      :set routerpackFile $archive

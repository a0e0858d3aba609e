    :local disk ""
    :local free [/system/resource/get free-hdd-space]

:global routerpackAction
:set routerpackAction
:global routerpackVersion
:set routerpackVersion
:global routerpackDisk
:set routerpackDisk
:global routerpackFile
:set routerpackFile
:global routerpackState
:set routerpackState
:global routerpackEnd
:set routerpackEnd


# Container %NAME%, image id %ID%, for %PLATFORM%; RouterOS %RANGE%. Made by routerpack.
%COMMENTS%# What this script does: "install", "update", "rollback" or "uninstall".
:global routerpackAction "%ACTION%"


FROM scratch
ADD tars/climbs.tar /x/

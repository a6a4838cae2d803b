module monolith

go 1.19

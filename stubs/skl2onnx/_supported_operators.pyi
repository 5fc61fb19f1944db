sklearn_operator_name_map: dict[type, str]

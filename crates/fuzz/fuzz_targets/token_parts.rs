#![no_main]

nlpress_fuzz::target!(nlpress_fuzz::text::token_parts);

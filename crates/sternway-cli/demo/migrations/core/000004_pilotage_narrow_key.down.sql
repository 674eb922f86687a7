-- The narrow key is the one that file 2 declares: there is nothing to take back.
SELECT 1;
